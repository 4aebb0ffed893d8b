"""Models of instances of ``transformers``: VidEoMT, and Mask2Former frame by frame.

They answer with class logits for each of their queries. A query of VidEoMT stands for one instance through the whole
clip: it is handed on from frame to frame. Mask2Former knows single images; its queries are joined over frames by how
alike their embeddings are (MinVIS: Huang, Yu and Anandkumar, NeurIPS 2022), a choice that carries no gradient. The
score of an instance is the mean of its logits over the frames, as the trackers built on these models take it.

Both encode frames one by one before anything is exchanged, so both split.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.functional import normalize

from longtake.errors import ModelError
from longtake.model_config import read_model_json
from longtake.models.normalisation import Normalisation, read_normalisation
from longtake.models.pretrained import class_names, load_pretrained, sides
from longtake.models.protocols import ClipModel
from longtake.models.video_classifiers import IMAGENET

_LARGEST_SIDE = 16_384
_PUBLISHED_SIZE = {"shortest_edge": 800, "longest_edge": 1333}


class VideomtModel:
    """`SplitModel` of VidEoMT: the first blocks see one frame each, the last ones the queries of the frame before."""

    def __init__(self, module: Any, normalisation: Normalisation) -> None:
        self.module: nn.Module = module
        self.network = module
        self.normalisation = normalisation
        self.class_names = class_names(module)
        self.n_frames: int | None = None
        self.first_shared = module.config.num_hidden_layers - module.config.num_blocks

    def input_size(self, height: int, width: int) -> tuple[int, int]:  # noqa: ARG002 (one size for all)
        """The model's fixed square."""
        return sides(self.network.config.image_size)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, H, W) in [0, 1] -> tokens (n, tokens, width) before the queries come in."""
        tokens = self.network.embeddings(self.normalisation(frames))
        for block in self.network.layers[: self.first_shared]:
            tokens = block(tokens)
        return tokens

    def head(self, features: Tensor) -> Tensor:
        """Tokens (T, tokens, width) of a clip -> class logits (queries, classes + 1), means over the frames.

        The library's own forward without the masks, which the scores do not depend on.
        """
        own = self.network.query.weight[None]
        queries, logits = own, []
        for tokens in features:
            hidden = torch.cat((queries, tokens[None]), dim=1)
            for block in self.network.layers[self.first_shared :]:
                hidden = block(hidden)
            handed_on = hidden[:, : own.shape[1]]
            logits.append(self.network.class_predictor(self.network.layernorm(handed_on))[0])
            queries = self.network.query_updater(handed_on) + own
        return torch.stack(logits).mean(0)

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1] -> class logits (queries, classes + 1), "no instance" last."""
        return self.head(self.encode(frames))


class Mask2FormerModel:
    """`SplitModel` of Mask2Former on single frames, instances joined over the clip."""

    def __init__(self, module: Any, normalisation: Normalisation, size: Callable[[int, int], tuple[int, int]]) -> None:
        self.module: nn.Module = module
        self.forward: Callable[..., Any] = module
        self.normalisation = normalisation
        self.class_names = class_names(module)
        self.n_frames: int | None = None
        self.input_size = size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, H, W) in [0, 1] -> class logits and embeddings of queries (n, queries, classes + 1 + width)."""
        answer = self.forward(pixel_values=self.normalisation(frames))
        return torch.cat((answer.class_queries_logits, answer.transformer_decoder_last_hidden_state), dim=-1)

    def head(self, features: Tensor) -> Tensor:
        """Features of a clip -> class logits (queries, classes + 1), means over the frames; queries of the first."""
        n_logits = len(self.class_names) + 1
        logits, embeddings = features[..., :n_logits], features[..., n_logits:].detach()
        order = join_queries(embeddings)
        return logits.gather(1, order[..., None].expand_as(logits)).mean(0)

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1] -> class logits (queries, classes + 1), "no instance" last."""
        return self.head(self.encode(frames))


def join_queries(embeddings: Tensor) -> Tensor:
    """Which query of each frame continues which query of the first.

    Parameters
    ----------
    embeddings : (T, queries, width)

    Returns
    -------
    (T, queries) int64: entry (t, q) is the query of frame t that continues q, found from frame to frame as the
    assignment with the largest sum of cosine similarities.
    """
    if isinstance(embeddings, FakeTensor):  # a simulation, to see how much memory it takes: there are no values
        return torch.arange(embeddings.shape[1], device=embeddings.device).expand(embeddings.shape[:2])
    directions = normalize(embeddings.double(), dim=-1)
    order = [torch.arange(embeddings.shape[1], device=embeddings.device)]
    for before, now in pairwise(directions):
        alike = before[order[-1]] @ now.T
        _, continued = linear_sum_assignment(alike.cpu().numpy(), maximize=True)
        order.append(torch.from_numpy(continued).to(embeddings.device))
    return torch.stack(order)


def resized(size: dict[str, Any], divisor: int, height: int, width: int) -> tuple[int, int]:
    """Height and width that Mask2Former's processor gives a picture of `height` x `width`.

    Parameters
    ----------
    size : height and width, or shortest_edge with a longest_edge that is not exceeded, aspect kept
    divisor : sides are rounded up to multiples of it
    """
    if "height" in size:
        tall, wide = size["height"], size["width"]
    else:
        short, long = sorted((height, width))
        edge = min(size["shortest_edge"], size.get("longest_edge", float("inf")) * short / long)
        tall, wide = (round(edge) if side == short else int(edge * long / short) for side in (height, width))
    return -(-tall // divisor) * divisor, -(-wide // divisor) * divisor


def load_videomt(folder: Path, config: dict[str, Any], device: torch.device) -> ClipModel:
    """Load a VidEoMT folder. Raises ModelError."""
    normalisation = read_normalisation(folder, IMAGENET)
    return VideomtModel(load_pretrained(folder, config, "VideomtForUniversalSegmentation").to(device), normalisation)


def load_mask2former(folder: Path, config: dict[str, Any], device: torch.device) -> ClipModel:
    """Load a Mask2Former folder; its preprocessor_config.json says at which size it works. Raises ModelError."""
    normalisation = read_normalisation(folder, IMAGENET)
    path = folder / "preprocessor_config.json"
    settings = read_model_json(path) if path.is_file() else {}
    size, divisor = settings.get("size", _PUBLISHED_SIZE), settings.get("size_divisor") or 32
    if isinstance(size, int):  # as older processors wrote it
        size = {"shortest_edge": size, "longest_edge": settings.get("max_size") or _PUBLISHED_SIZE["longest_edge"]}
    if not isinstance(size, dict) or not ({"height", "width"} <= set(size) or "shortest_edge" in size):
        raise ModelError(
            f"{path}: size is {size!r}; it needs height and width, or shortest_edge. Copy the file that came with the "
            "weights."
        )
    for name, value in {**size, "size_divisor": divisor}.items():
        if not isinstance(value, int) or not 0 < value <= _LARGEST_SIDE:
            raise ModelError(
                f"{path}: {name} is {value!r}, no number of pixels from 1 to {_LARGEST_SIDE}. Copy the file that came "
                "with the weights."
            )
    module = load_pretrained(folder, config, "Mask2FormerForUniversalSegmentation")
    return Mask2FormerModel(module.to(device), normalisation, partial(resized, size, divisor))
