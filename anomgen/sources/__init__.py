"""Where normal images come from: built-in textures, folders, the field's layouts, Hugging Face datasets."""


def detect(path: str) -> dict[str, str]:
    """Return the configuration of the source that a path or id on the command line means.

    See `anomgen.sources.detection.detect`, which is imported only when it is needed.
    """
    from anomgen.sources.detection import detect as detect_kind

    return detect_kind(path)
