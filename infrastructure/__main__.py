from infrastructure.config.files import ROOT
from infrastructure.ecs.image_source import IMAGES, stage
from infrastructure.ecs.images import CONTEXTS
from infrastructure.program import run

for image in IMAGES:
    stage(image, ROOT / CONTEXTS)
run()
