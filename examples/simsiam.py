"""SimSiam on one page: predict one's own view of the same image, without negatives and without a teacher.

Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021.
What a real training needs besides (checkpoints, validation, tracking) is in ``bundles/simsiam_pretrain``.

    python examples/simsiam.py                 # on the embedded sample of phantom CT, about a minute on two cores
    python examples/simsiam.py --data FOLDER   # on your own DICOM, NIfTI or pictures
"""

from __future__ import annotations

import argparse

import torch

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.engines import TrainingLength, select_device
from monai_ext.losses import NegativeCosineSimilarity
from monai_ext.networks import PredictionHead, ProjectionHead, SimSiam, build_encoder
from monai_ext.optimizers import WarmupCosine, parameter_groups
from monai_ext.transforms import MultiView, RandomView


def main() -> None:
    """Train for some steps, print the loss, write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of slices; the embedded sample when omitted")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--output", default="simsiam_encoder.pt", help="file of the encoder")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = select_device()

    slices = open_slices(options.data, image_size=64, window=[0, 2000])  # (1, S, S) in [0, 1], S a little above 64
    loader = slice_loader(slices, batch_size=32, sampler=StreamSampler(slices, seed=0), num_workers=0)
    views = MultiView({"view": RandomView(64)})  # two views of every image

    # Section 3: three layers with batch norm to the last, and a prediction head that is a bottleneck.
    widths = {"hidden_features": 512, "out_features": 512, "layers": 3}
    projection = ProjectionHead(512, **widths, batch_norm=True, output_batch_norm=True)
    prediction = PredictionHead(512, hidden_features=128)
    model = SimSiam(build_encoder("resnet18"), projection=projection, prediction=prediction).to(device).train()
    similarity = NegativeCosineSimilarity(form="cosine")  # equation 4; the targets come without gradient
    # Section 4.2: the rate of the encoder and the projection falls along half a cosine, that of the prediction stays.
    groups = parameter_groups(model, weight_decay=1e-4, constant_rate=["prediction"])
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.9)  # far above the paper's: here are few steps
    cosine = WarmupCosine(length=TrainingLength(32 * options.steps, batch_size=32, epochs=1))
    peaks = cosine.peaks(optimizer)

    for step, images in zip(range(1, options.steps + 1), loader, strict=False):
        cosine.apply(optimizer, step - 1, peaks)
        predictions, targets = model(views(images.to(device)))
        loss = similarity(predictions, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0 or step == 1:
            spread = torch.nn.functional.normalize(targets[0], dim=1).std(dim=0).mean() * targets.shape[2] ** 0.5
            print(f"step {step:4d}  loss {loss.item():.3f}  spread {spread:.2f}   (-1 at a spread of 0 is collapse)")

    # What pre-training was for: an ordinary ResNet.
    torch.save(model.encoder.cpu().state_dict(), options.output)
    print(f"The encoder is in {options.output}; give it to a classification bundle with --pretrained {options.output}.")


if __name__ == "__main__":
    main()
