"""Diffusion in four separate things: schedule, respacing, process, samplers. Pure functions of tensors."""
