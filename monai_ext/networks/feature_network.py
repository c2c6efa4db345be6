"""What is left of a pre-training method once it is trained: a network from images to feature vectors."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FeatureNetwork"]


class FeatureNetwork(nn.Module):
    """The encoder of a method under the method's own state dict.

    It runs nothing but the encoder, whose features are averaged over the image, and exports to TorchScript and ONNX.
    The other weights of the method, such as a decoder, a teacher or a queue, are held and never used, so that the model
    file of the training loads into it completely: every name and shape is compared. Parameters and buffers are those of
    ``method``, not copies.

    Args:
        method: with an ``encoder``, such as :class:`~monai_ext.networks.SparK` or :class:`~monai_ext.networks.BYOL`.

    Example:
        >>> import torch
        >>> from monai_ext.networks import SparK, SparKDecoder, build_encoder
        >>> method = SparK(build_encoder("resnet18"), SparKDecoder(32))
        >>> network = FeatureNetwork(method).eval()
        >>> network(torch.rand(2, 1, 32, 32)).shape, network.state_dict().keys() == method.state_dict().keys()
        (torch.Size([2, 512]), True)
    """

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        _hold(method, self, running="encoder")

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, F) of images (B, C, *spatial)."""
        features: Tensor = self.encoder(images)  # type: ignore[operator]
        return features.flatten(1)


def _hold(module: nn.Module, holder: nn.Module, *, running: str | None = None) -> nn.Module:
    """Register the weights of a module in another one, which does not run; ``running`` is a child that does."""
    for name, parameter in module._parameters.items():
        holder.register_parameter(name, parameter)
    for name, buffer in module._buffers.items():
        holder.register_buffer(name, buffer, persistent=name not in module._non_persistent_buffers_set)
    for name, child in module._modules.items():
        if child is not None:
            holder.add_module(name, child if name == running else _hold(child, nn.Module()))
    return holder
