"""The picture that a study chose, drawn."""

from __future__ import annotations

from matplotlib.figure import Figure

from tropattn.plotting.along import line
from tropattn.plotting.hull import polytope
from tropattn.plotting.plane import diagram, panels, partition
from tropattn.plotting.space import space
from tropattn.study.pictures import Picture

__all__ = ["draw"]


def draw(picture: Picture) -> Figure:
    """Draw a picture with the function of its view; raises as that does."""
    target, domain = picture.target, picture.domain
    named = {"labels": picture.labels, "title": picture.title}
    if picture.view == "polytope":
        return polytope(target, **named)
    if picture.view == "line":
        return line(target, domain, **named)
    if picture.view == "space":
        return space(target, domain, **named)
    if picture.view == "diagram":
        return diagram(target, domain=domain, **named)
    figure = panels if picture.view == "panels" else partition
    return figure(target, domain, **named, points=picture.points, point_names=picture.point_names)
