"""Names of what a voxel can be made of."""

TISSUES = (
    "air",
    "white_matter",
    "grey_matter",
    "lesion",  # demyelinated white matter
    "oedema",  # swollen cord after injury
    "cavity",  # fluid inside the cord
    "rim",  # pia and vessels around the cord: looks like cord, lies outside the truth
    "brainstem",
    "csf",
    "roots",
    "dura",
    "epidural_fat",
    "marrow",
    "cortical_bone",  # and ligaments: dark everywhere
    "disc",
    "muscle",
    "fat",
    "skin",
    "vessel",  # arteries and veins of the neck and in the canal
    "soft_tissue",  # throat, thyroid, oesophagus
    "brain",  # cerebellum
)
"""What `Anatomy.tissue_fractions` returns along its first axis."""

CORD_TISSUES = ("white_matter", "grey_matter", "lesion", "oedema", "cavity")
"""What the truth counts as cord."""

INDEX = {name: row for row, name in enumerate(TISSUES)}
"""Row of each tissue."""
