from infrastructure.config.files import ROOT
from infrastructure.images import CONTEXTS
from infrastructure.program import run
from infrastructure.source import IMAGES, stage

for image in IMAGES:
    stage(image, ROOT / CONTEXTS)
run()
