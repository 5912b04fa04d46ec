"""Augmented views of images, a whole batch at a time on tensors: the same on CPU and GPU.

Geometry first (crop, aspect, rotation, flip, translation, paste onto another image; one resampling), then
what lies on top (boxes, stripes, another image), then light and sensor (colour, grey, blur, pixels, JPEG,
noise), and a square cut out last. Which images an operation meets is drawn per image. Shares and strengths:
`AugmentConfig`, our choice.

Shapes: N views, S source side, s output side. Images are float in 0..1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from edgesim.training.config import AugmentConfig
from edgesim.training.jpeg import jpeg_round_trip

# Luma of ITU-R BT.601, as JPEG uses it.
_LUMA = (0.299, 0.587, 0.114)


class Augment:
    """Draws augmented views. All chance comes from the generator, which must be on the images' device.

    Args:
        config: shares and strengths.
        output_size: s.
        generator: source of chance.
    """

    def __init__(self, config: AugmentConfig, output_size: int, generator: torch.Generator) -> None:
        self.config, self.output_size, self.generator = config, output_size, generator

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 images (N, 3, S, S) to augmented views (N, 3, s, s), float in 0..1."""
        config = self.config
        images = images.float().div_(255.0)
        views = self._whole_pixels(images) if self._upright(images) else self._geometry(images)
        views = self._some(views, config.overlay_share, self._overlay)
        views = self._colour(views)
        views = self._some(views, config.grey_share, _grey)
        views = self._some(views, config.blur_share / 2, self._blur)
        views = self._some(views, config.blur_share / 2, self._pixelise)
        views = self._some(views, config.jpeg_share, self._jpeg)
        views = self._some(views, config.noise_share, self._noise)
        return self._cutout(views.clamp_(0.0, 1.0))

    def _uniform(self, count: int, low: float, high: float, device: torch.device) -> Tensor:
        return torch.rand(count, generator=self.generator, device=device) * (high - low) + low

    def _chosen(self, count: int, share: float, device: torch.device) -> Tensor:
        return torch.rand(count, generator=self.generator, device=device) < share

    def _some(self, views: Tensor, share: float, change: object) -> Tensor:
        """Apply `change` to each view with probability `share`."""
        if share <= 0.0:
            return views
        rows = self._chosen(len(views), share, views.device).nonzero().squeeze(1)
        if len(rows):
            views[rows] = change(views[rows])  # type: ignore[operator]
        return views

    def _upright(self, images: Tensor) -> bool:
        """Tell whether no view needs resampling: at most moved by whole pixels and mirrored."""
        config = self.config
        turned = config.rotation_share > 0.0 and config.rotation_degrees > 0.0
        whole = config.crop_area_min == 1.0 and config.paste_share == 0.0 and not turned
        return whole and images.shape[-1] == self.output_size

    def _whole_pixels(self, images: Tensor) -> Tensor:
        """Move and mirror by copying pixels: what `_geometry` does, at a tenth of its cost."""
        count, side, device = len(images), self.output_size, images.device
        reach = self.config.shift_pixels
        grey = torch.rand(count, 1, 1, 1, generator=self.generator, device=device)
        padded = grey.repeat(1, 3, side + 2 * reach, side + 2 * reach)
        padded[:, :, reach : reach + side, reach : reach + side] = images
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)
        down, right = self._steps(count, device), self._steps(count, device)
        views = windows[torch.arange(count, device=device), :, down + reach, right + reach]
        return self._some(views, self.config.flip_share, lambda chosen: chosen.flip(3))

    def _steps(self, count: int, device: torch.device) -> Tensor:
        """Draw translations in whole pixels, -shift_pixels .. shift_pixels."""
        reach = self.config.shift_pixels
        return torch.randint(-reach, reach + 1, (count,), generator=self.generator, device=device)

    def _translation(self, upright: Tensor) -> Tensor:
        """Draw translations (N,) in pixels, whole ones where a view is otherwise upright."""
        reach, device = self.config.shift_pixels, upright.device
        anywhere = self._uniform(len(upright), -reach, reach, device)
        return torch.where(upright, self._steps(len(upright), device), anywhere)

    def _crop(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw width and height, 0..1, of crops of a given area and aspect ratio."""
        if self.config.crop_area_min == 1.0:
            return torch.ones(count, device=device), torch.ones(count, device=device)
        area = self._uniform(count, self.config.crop_area_min, 1.0, device)
        aspect = torch.exp(self._uniform(count, -math.log(4 / 3), math.log(4 / 3), device))
        return (area * aspect).sqrt().clamp(max=1.0), (area / aspect).sqrt().clamp(max=1.0)

    def _geometry(self, images: Tensor) -> Tensor:
        """Resample every view once, through the affine map from output to source coordinates (-1..1)."""
        count, device, config = len(images), images.device, self.config
        scale_x, scale_y = self._crop(count, device)
        angle = self._uniform(count, -1, 1, device) * math.radians(config.rotation_degrees)
        angle = angle * self._chosen(count, config.rotation_share, device)
        # The centre of a crop keeps it inside the picture, but for the translation.
        upright = (scale_x == 1.0) & (scale_y == 1.0) & (angle == 0.0)
        pixel = 2.0 / images.shape[-1]
        centre_x = self._uniform(count, -1, 1, device) * (1 - scale_x) + self._translation(upright) * pixel
        centre_y = self._uniform(count, -1, 1, device) * (1 - scale_y) + self._translation(upright) * pixel
        pasted = self._chosen(count, config.paste_share, device)
        # A pasted picture is seen whole, from further away: it fills 25 to 60 % of the view.
        zoom = 1 / self._uniform(count, 0.25, 0.6, device).sqrt()
        scale_x, scale_y = (torch.where(pasted, zoom, scale) for scale in (scale_x, scale_y))
        offset = zoom - 1
        centre_x = torch.where(pasted, self._uniform(count, -1, 1, device) * offset, centre_x)
        centre_y = torch.where(pasted, self._uniform(count, -1, 1, device) * offset, centre_y)
        flip = 1.0 - 2.0 * self._chosen(count, config.flip_share, device).float()
        theta = torch.stack(
            [
                torch.stack([flip * scale_x * angle.cos(), -scale_y * angle.sin(), centre_x], dim=1),
                torch.stack([flip * scale_x * angle.sin(), scale_y * angle.cos(), centre_y], dim=1),
            ],
            dim=1,
        )
        size = (count, 3, self.output_size, self.output_size)
        grid = functional.affine_grid(theta, list(size), align_corners=False)
        views = functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        inside = (grid.abs() <= 1.0).all(dim=3).unsqueeze(1)
        return torch.where(inside, views, self._backgrounds(images, pasted))

    def _backgrounds(self, images: Tensor, pasted: Tensor) -> Tensor:
        """Return what shows outside the picture: another image where it was pasted, else one colour."""
        other = images[torch.randperm(len(images), generator=self.generator, device=images.device)]
        other = functional.interpolate(other, size=self.output_size, mode="bilinear", antialias=False)
        colour = torch.rand(len(images), 3, 1, 1, generator=self.generator, device=images.device)
        grey = colour.mean(dim=1, keepdim=True).expand_as(colour)
        return torch.where(pasted.view(-1, 1, 1, 1), other, grey.expand_as(other))

    def _overlay(self, views: Tensor) -> Tensor:
        """Lay 1 to 3 boxes over each view: of one colour, striped like a line of text, or another image."""
        count, device, side = len(views), views.device, views.shape[-1]
        axis = (torch.arange(side, device=device) + 0.5) / side
        other = views[torch.randperm(count, generator=self.generator, device=device)]
        for _ in range(3):
            width = self._uniform(count, 0.08, 0.55, device)
            height = self._uniform(count, 0.05, 0.3, device)
            left = self._uniform(count, 0, 1, device) * (1 - width)
            top = self._uniform(count, 0, 1, device) * (1 - height)
            across = (axis >= left[:, None]) & (axis < (left + width)[:, None])
            down = (axis >= top[:, None]) & (axis < (top + height)[:, None])
            kind = torch.randint(0, 4, (count,), generator=self.generator, device=device)
            period = torch.randint(2, 7, (count, 1), generator=self.generator, device=device)
            stripes = (torch.arange(side, device=device)[None, :] // period) % 2 == 0
            across = across & (stripes | (kind != 1)[:, None])
            box = (down[:, None, :, None] & across[:, None, None, :]) & (kind != 3).view(-1, 1, 1, 1)
            colour = torch.rand(count, 3, 1, 1, generator=self.generator, device=device)
            fill = torch.where((kind == 2).view(-1, 1, 1, 1), other, colour.expand_as(views))
            views = torch.where(box, fill, views)
        return views

    def _colour(self, views: Tensor) -> Tensor:
        """Change brightness, contrast and saturation by up to +-`colour`, each channel by a fifth of it."""
        strength, count, device = self.config.colour, len(views), views.device
        if strength <= 0.0:
            return views
        brightness = self._uniform(count, 1 - strength, 1 + strength, device).view(-1, 1, 1, 1)
        contrast = self._uniform(count, 1 - strength, 1 + strength, device).view(-1, 1, 1, 1)
        saturation = self._uniform(count, 1 - strength, 1 + strength, device).view(-1, 1, 1, 1)
        tint = self._uniform(count * 3, 1 - strength / 5, 1 + strength / 5, device).view(-1, 3, 1, 1)
        views = (views * brightness * tint).clamp(0, 1)
        mean = _grey(views).mean(dim=(1, 2, 3), keepdim=True)
        views = mean + (views - mean) * contrast
        grey = _grey(views)
        return (grey + (views - grey) * saturation).clamp(0, 1)

    def _blur(self, views: Tensor) -> Tensor:
        """Blur with a Gaussian of 0.5 to 2.5 pixels."""
        sigma = self._uniform(len(views), 0.5, 2.5, views.device)
        offsets = torch.arange(-5, 6, device=views.device, dtype=views.dtype)
        kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
        kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
        flat = functional.pad(views, [5] * 4, mode="reflect").flatten(0, 1).unsqueeze(0)
        flat = functional.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
        flat = functional.conv2d(flat, kernel[:, None, None, :], groups=len(kernel))
        return flat.view_as(views)

    def _pixelise(self, views: Tensor) -> Tensor:
        """Reduce the batch to a quarter or less of its side and enlarge it again."""
        side = views.shape[-1]
        small = int(
            torch.randint(side // 6, side // 3 + 1, (1,), generator=self.generator, device=views.device)
        )
        reduced = functional.interpolate(views, size=small, mode="area")
        return functional.interpolate(reduced, size=side, mode="nearest")

    def _jpeg(self, views: Tensor) -> Tensor:
        return jpeg_round_trip(views, self._uniform(len(views), 10, 60, views.device))

    def _noise(self, views: Tensor) -> Tensor:
        sigma = self._uniform(len(views), 0.01, 0.08, views.device).view(-1, 1, 1, 1)
        noise = torch.randn(views.shape, generator=self.generator, device=views.device)
        return views + noise * sigma

    def _cutout(self, views: Tensor) -> Tensor:
        """Set a square of each view to mid grey (DeVries & Taylor 2017, arXiv 1708.04552, section 3.1)."""
        length, (count, _, side, _), device = self.config.cutout_pixels, views.shape, views.device
        if length == 0:
            return views
        # The square's centre is anywhere in the view, so that it may reach over the edge, as there.
        top, left = (
            torch.randint(0, side, (count, 1), generator=self.generator, device=device) - length // 2
            for _ in range(2)
        )
        axis = torch.arange(side, device=device)
        down = (axis >= top) & (axis < top + length)
        across = (axis >= left) & (axis < left + length)
        return views.masked_fill_((down[:, :, None] & across[:, None, :])[:, None], 0.5)


def _grey(views: Tensor) -> Tensor:
    """Return the luma of (N, 3, s, s) in all three channels."""
    weights = torch.tensor(_LUMA, device=views.device, dtype=views.dtype).view(1, 3, 1, 1)
    return (views * weights).sum(dim=1, keepdim=True).expand_as(views)
