"""SparK on one page: hide patches, paint them, keep the encoder.

Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling", ICLR 2023. What a
real training needs besides (checkpoints, validation, tracking) is in ``bundles/spark_pretrain``.

    python examples/spark.py                 # on the embedded sample of phantom CT, about a minute on two cores
    python examples/spark.py --data FOLDER   # on your own DICOM, NIfTI or pictures
"""

from __future__ import annotations

import argparse

import torch
from monai.networks.nets import resnet18

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.engines import select_device
from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.optimizers import LAMB, parameter_groups
from monai_ext.transforms import RandResizedCropFlip


def main() -> None:
    """Train for some steps, print the loss, write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of slices; the embedded sample when omitted")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--output", default="spark_encoder.pt", help="file of the encoder")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = select_device()

    slices = open_slices(options.data, image_size=96, window=[0, 2000])  # (1, S, S) in [0, 1], S a little above 96
    loader = slice_loader(slices, batch_size=16, sampler=StreamSampler(slices, seed=0), num_workers=0)
    view = RandResizedCropFlip(96, scale=(0.67, 1.0))  # masking is the augmentation: little else is needed

    # Section 3.1: the encoder is an ordinary ResNet, run at the visible 40 % of the patches of 32 x 32 pixels.
    # Section 3.2: its four feature maps, with a learnt token where they are empty, feed a light decoder.
    model = SparK(build_encoder("resnet18"), SparKDecoder(width=128), masked_fraction=0.6).to(device).train()

    # Section 3.3: each patch is predicted in units of its own mean and deviation, the masked ones count.
    reconstruction_loss = MaskedReconstructionLoss(patch_size=model.patch_size)
    optimizer = LAMB(parameter_groups(model, weight_decay=0.04), lr=4e-3, betas=(0.9, 0.95))

    for step, images in zip(range(1, options.steps + 1), loader, strict=False):
        image = view(images.to(device))
        prediction, visible = model(image, return_visible=True)
        loss = reconstruction_loss(prediction, image, visible)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            print(f"step {step:4d}  loss {loss.item():.3f}   (1 is what painting each patch in its mean gives)")

    # What pre-training was for: the encoder's weights are those of MONAI's network, sparse execution left no trace.
    torch.save(model.encoder.cpu().state_dict(), options.output)
    classifier = resnet18(n_input_channels=1, num_classes=2, spatial_dims=2, conv1_t_stride=2, bias_downsample=False)
    left = classifier.load_state_dict(torch.load(options.output, weights_only=True), strict=False)
    print(
        f"{options.output} loads into monai.networks.nets.resnet18; only the new head starts anew: {left.missing_keys}"
    )


if __name__ == "__main__":
    main()
