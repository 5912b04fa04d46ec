"""A network as ncnn's text file, whose weights ncnn makes up: what its own benchmark runs."""

from __future__ import annotations

from torch import nn

from latency.networks import SIZE, BasicBlock, Bottleneck, ConvBlock, Excitation, GlobalMean, Network

_MAGIC = 7767517
# Weights scaled per channel and activations per tensor, as in the int8 files of ncnn's benchmark.
_INT8_CONVOLUTION, _INT8_DEPTHWISE = "8=2", "8=1"


def ncnn_file(network: Network, arithmetic: str) -> str:
    """Return the file's text. `arithmetic` is `int8` or `float`; the input is `in`, the output `out`."""
    writer = _Writer(int8=arithmetic == "int8")
    result = writer.module(network, writer.layer("Input", [], f"0={SIZE}", f"1={SIZE}", "2=3"))
    writer.layer("Softmax", [result], "0=0", "1=1")
    lines = writer.lines
    lines[0] = lines[0].replace(" b1 ", " in ")
    lines[1] = lines[1].replace(" b1 ", " in ", 1)
    lines[-1] = lines[-1].replace(f" b{writer.blobs} ", " out ")
    return f"{_MAGIC}\n{len(lines)} {writer.blobs}\n" + "\n".join(lines) + "\n"


class _Writer:
    """Writes layers in the order of execution; blobs are named b1, b2 and so on."""

    def __init__(self, *, int8: bool) -> None:
        self.int8 = int8
        self.lines: list[str] = []
        self.blobs = 0

    def layer(self, kind: str, inputs: list[str], *values: str) -> str:
        """Write a layer with one output; returns the output's name."""
        (output,) = self._write(kind, inputs, 1, values)
        return output

    def split(self, blob: str) -> list[str]:
        """A blob has one reader; this gives it two."""
        return self._write("Split", [blob], 2, ())

    def _write(self, kind: str, inputs: list[str], count: int, values: tuple[str, ...]) -> list[str]:
        outputs = [f"b{self.blobs + 1 + i}" for i in range(count)]
        self.blobs += count
        words = [kind, f"layer{len(self.lines)}", str(len(inputs)), str(count), *inputs, *outputs, *values]
        self.lines.append(" ".join(words))
        return outputs

    def module(self, module: nn.Module, blob: str) -> str:
        """Write what a module does with a blob; returns the result's name."""
        if isinstance(module, nn.Sequential):
            for part in module:
                blob = self.module(part, blob)
            return blob
        if isinstance(module, ConvBlock):
            return self._convolution(module, blob)
        if isinstance(module, Bottleneck):
            beside, blob = self.split(blob) if module.skips else ("", blob)
            blob = self.module(module.steps, blob)
            return self.layer("BinaryOp", [beside, blob], "0=0") if module.skips else blob
        if isinstance(module, BasicBlock):
            beside, blob = self.split(blob)
            blob = self.module(module.steps, blob)
            beside = self.module(module.shortcut, beside) if module.shortcut else beside
            return self.layer("ReLU", [self.layer("Eltwise", [beside, blob], "0=1")])
        if isinstance(module, Excitation):
            return self._excitation(module, blob)
        return self._simple(module, blob)

    def _simple(self, module: nn.Module, blob: str) -> str:
        if isinstance(module, GlobalMean):
            return self.layer("Pooling", [blob], "0=1", "4=1")
        if isinstance(module, nn.MaxPool2d):
            return self.layer("Pooling", [blob], "0=0", "1=3", "2=2", "3=1", "5=1")
        if isinstance(module, nn.Linear):
            values = [f"0={module.out_features}", "1=1", f"2={module.weight.numel()}"]
            return self.layer("InnerProduct", [blob], *values, *([_INT8_CONVOLUTION] if self.int8 else []))
        return self._activation(module, blob)

    def _activation(self, module: nn.Module | None, blob: str) -> str:
        if module is None:
            return blob
        if isinstance(module, nn.ReLU | nn.ReLU6):
            # ReLU6 as ReLU in int8, as in ncnn's own file of MobileNet V1.
            clips = isinstance(module, nn.ReLU6) and not self.int8
            return self.layer("Clip", [blob], "0=0.0", "1=6.0") if clips else self.layer("ReLU", [blob])
        kind = {nn.Hardswish: "HardSwish", nn.Hardsigmoid: "HardSigmoid"}[type(module)]
        return self.layer(kind, [blob], "0=0.1666667", "1=0.5")

    def _convolution(self, block: ConvBlock, blob: str) -> str:
        layer = block.convolution
        depthwise = layer.groups > 1
        values = [
            f"0={layer.out_channels}",
            f"1={layer.kernel_size[0]}",
            f"3={layer.stride[0]}",
            f"4={layer.padding[0]}",
            "5=1",
            f"6={layer.weight.numel()}",
            *([f"7={layer.groups}"] if depthwise else []),
        ]
        activation = block.activation
        if self.int8:
            values.append(_INT8_DEPTHWISE if depthwise else _INT8_CONVOLUTION)
        elif isinstance(activation, nn.ReLU6):
            values, activation = [*values, "9=3", "-23310=2,0.0,6.0"], None
        elif isinstance(activation, nn.ReLU):
            values, activation = [*values, "9=1"], None
        kind = "ConvolutionDepthWise" if depthwise else "Convolution"
        return self._activation(activation, self.layer(kind, [blob], *values))

    def _excitation(self, module: Excitation, blob: str) -> str:
        beside, blob = self.split(blob)
        blob = self.layer("Pooling", [blob], "0=1", "4=1")
        for block in (module.squeeze, module.excite):
            layer = block.convolution
            values = [f"0={layer.out_channels}", "1=1", f"2={layer.weight.numel()}"]
            blob = self._activation(block.activation, self.layer("InnerProduct", [blob], *values))
        blob = self.layer("Reshape", [blob], "0=1", "1=1", "2=-1")
        return self.layer("BinaryOp", [beside, blob], "0=2")
