"""MoCo v2 on one page: find the other view of a slice among the slices of earlier batches.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020; Chen et al., "Improved
Baselines with Momentum Contrastive Learning", 2020.
What a real training needs besides (checkpoints, validation, tracking) is in ``bundles/moco_v2_pretrain``.

    python examples/moco_v2.py                 # on the embedded sample of phantom CT, about a minute on two cores
    python examples/moco_v2.py --data FOLDER   # on your own DICOM, NIfTI or pictures
"""

from __future__ import annotations

import argparse

import torch

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.engines import select_device
from monai_ext.losses import InfoNCELoss
from monai_ext.networks import MoCo, MomentumQueue, ProjectionHead, build_encoder, split_batch_norm
from monai_ext.transforms import MultiView, RandomView


def main() -> None:
    """Train for some steps, print the loss, write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of slices; the embedded sample when omitted")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", default="moco_v2_encoder.pt", help="file of the encoder")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = select_device()

    slices = open_slices(options.data, image_size=64, window=[0, 2000])  # (1, S, S) in [0, 1], S a little above 64
    loader = slice_loader(slices, batch_size=32, sampler=StreamSampler(slices, seed=0), num_workers=0)
    views = MultiView({"view": RandomView(64)})  # two views of every image: one asks, one is found

    # Section 3.2: a queue of keys from earlier batches, encoded by a slowly moving average of the query encoder.
    # Section 3.3: batch norm must not tell which key belongs to a query, hence statistics of groups (on several
    # devices: shuffling).
    encoder = split_batch_norm(build_encoder("resnet18"), groups=2)
    projection = ProjectionHead(512, hidden_features=512, out_features=128)  # the MLP head that makes it version 2
    model = MoCo(encoder, projection=projection, queue=MomentumQueue(128, features=128)).to(device).train()
    contrastive_loss = InfoNCELoss(temperature=0.2)  # equation 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)

    for step, images in zip(range(1, options.steps + 1), loader, strict=False):
        # Passes repeat slices while earlier keys of them are in the queue: those are no negatives of theirs.
        queries, keys, negatives, own = model(views(images.to(device)), loader.sample_ids.to(device))
        loss = contrastive_loss(queries, keys, negatives, own)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.update_teacher(0.99)  # equation 2
        if step % 20 == 0 or step == 1:
            print(f"step {step:4d}  loss {loss.item():.3f}   (ln 129 = 4.86 is chance)")

    # What pre-training was for: an ordinary ResNet.
    torch.save(model.encoder.cpu().state_dict(), options.output)
    print(f"The encoder is in {options.output}; give it to a classification bundle with --pretrained {options.output}.")


if __name__ == "__main__":
    main()
