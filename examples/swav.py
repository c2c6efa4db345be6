"""SwAV on one page: predict from one view to which cluster another view belongs.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020.
What a real training needs besides (checkpoints, validation, tracking) is in ``bundles/swav_pretrain``.

    python examples/swav.py                 # on the embedded sample of phantom CT, about a minute on two cores
    python examples/swav.py --data FOLDER   # on your own DICOM, NIfTI or pictures
"""

from __future__ import annotations

import argparse

import torch
from pytorch_optimizer import LARS

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.engines import select_device
from monai_ext.losses import SwappedAssignmentLoss
from monai_ext.networks import ProjectionHead, Prototypes, SwAV, build_encoder
from monai_ext.transforms import MultiView, RandomView


def main() -> None:
    """Train for some steps, print the loss, write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of slices; the embedded sample when omitted")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", default="swav_encoder.pt", help="file of the encoder")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = select_device()

    slices = open_slices(options.data, image_size=64, window=[0, 2000])  # (1, S, S) in [0, 1], S a little above 64
    loader = slice_loader(slices, batch_size=32, sampler=StreamSampler(slices, seed=0), num_workers=0)
    # Section 3.2, multi-crop: two large views are assigned to clusters, small ones have to predict the assignments.
    kinds = {"global": RandomView(64, scale=(0.5, 1.0)), "local": RandomView(32, scale=(0.1, 0.33))}
    views = MultiView(kinds, counts={"global": 2, "local": 2})

    # Section 3.1: similarities with prototypes are scores; Sinkhorn iterations share a batch equally among prototypes.
    projection = ProjectionHead(512, hidden_features=512, out_features=128, batch_norm=True)
    model = SwAV(build_encoder("resnet18"), projection=projection, prototypes=Prototypes(16, features=128))
    model = model.to(device).train()
    swapped_loss = SwappedAssignmentLoss(temperature=0.1)  # equations 1 and 2
    optimizer = LARS(model.parameters(), lr=0.6, momentum=0.9, weight_decay=1e-6)

    for step, images in zip(range(1, options.steps + 1), loader, strict=False):
        scores, assignments = model(views(images.to(device)))
        loss = swapped_loss(scores, assignments)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0 or step == 1:
            print(f"step {step:4d}  loss {loss.item():.3f}   (ln 16 = 2.77 is chance)")

    # What pre-training was for: an ordinary ResNet.
    torch.save(model.encoder.cpu().state_dict(), options.output)
    print(f"The encoder is in {options.output}; give it to a classification bundle with --pretrained {options.output}.")


if __name__ == "__main__":
    main()
