"""Annotations of other tools, read as masks: COCO, YOLO segmentation, Label Studio."""
