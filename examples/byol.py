"""BYOL on one page: predict what a slower self says of another view, without negatives.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020.
What a real training needs besides (checkpoints, validation, tracking) is in ``bundles/byol_pretrain``.

    python examples/byol.py                 # on the embedded sample of phantom CT, about a minute on two cores
    python examples/byol.py --data FOLDER   # on your own DICOM, NIfTI or pictures
"""

from __future__ import annotations

import argparse

import torch

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.engines import select_device
from monai_ext.handlers import MomentumUpdater
from monai_ext.losses import NegativeCosineSimilarity
from monai_ext.networks import BYOL, PredictionHead, ProjectionHead, build_encoder
from monai_ext.transforms import MultiView, RandomView


def main() -> None:
    """Train for some steps, print the loss, write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of slices; the embedded sample when omitted")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", default="byol_encoder.pt", help="file of the encoder")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = select_device()

    slices = open_slices(options.data, image_size=64, window=[0, 2000])  # (1, S, S) in [0, 1], S a little above 64
    loader = slice_loader(slices, batch_size=32, sampler=StreamSampler(slices, seed=0), num_workers=0)
    views = MultiView({"view": RandomView(64)})  # section 3.2: two views of every image

    # Section 3.1: encoder, projection and prediction are the student; the teacher is a moving average of the first two.
    projection = ProjectionHead(512, hidden_features=512, out_features=256, batch_norm=True)
    prediction = PredictionHead(256, hidden_features=512)
    model = BYOL(build_encoder("resnet18"), projection=projection, prediction=prediction).to(device).train()
    regression_loss = NegativeCosineSimilarity()  # equation 2, both directions
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1.5e-6)
    decay = MomentumUpdater(0.99, schedule="cosine")  # rises to 1, so that the teacher settles

    for step, images in zip(range(1, options.steps + 1), loader, strict=False):
        predictions, targets = model(views(images.to(device)))
        loss = regression_loss(predictions, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.update_teacher(decay.value(step - 1, steps=options.steps))
        if step % 20 == 0 or step == 1:
            print(f"step {step:4d}  loss {loss.item():.3f}   (4 is chance, 0 is agreement in both directions)")

    # What pre-training was for: an ordinary ResNet.
    torch.save(model.encoder.cpu().state_dict(), options.output)
    print(f"The encoder is in {options.output}; give it to a classification bundle with --pretrained {options.output}.")


if __name__ == "__main__":
    main()
