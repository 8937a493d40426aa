import pulumi

from infrastructure.config.files import ROOT
from infrastructure.ecs.base_image import check_pinned
from infrastructure.ecs.image_source import IMAGES, stage
from infrastructure.ecs.images import CONTEXTS
from infrastructure.program import run

for image in IMAGES:
    stage(image, ROOT / CONTEXTS)
if not pulumi.runtime.is_dry_run():
    # Now images are pushed.
    check_pinned()
run()
