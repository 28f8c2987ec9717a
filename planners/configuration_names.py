"""The configurations that planning makes; a plan file may hold others, which are its owner's."""

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
