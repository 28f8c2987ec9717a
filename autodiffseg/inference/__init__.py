"""From patches to a label map on the raw grid: noise field, windows, mirrors, predictor, export."""
