"""Attention as people publish it, written from the papers: no base class, no import of ablate."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class SELayer(nn.Module):
    """Hu et al. 2018, arXiv 1709.01507, as most repositories write it."""

    def __init__(self, channel, reduction=16):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class CoordAtt(nn.Module):
    """Hou et al. 2021, arXiv 2103.02907: pooled along each side, by AdaptiveAvgPool2d((None, 1))."""

    def __init__(self, inp, reduction=32):
        super().__init__()
        self.pool_h, self.pool_w = nn.AdaptiveAvgPool2d((None, 1)), nn.AdaptiveAvgPool2d((1, None))
        mid = max(8, inp // reduction)
        self.conv1, self.bn1, self.act = nn.Conv2d(inp, mid, 1), nn.BatchNorm2d(mid), nn.Hardswish()
        self.conv_h, self.conv_w = nn.Conv2d(mid, inp, 1), nn.Conv2d(mid, inp, 1)

    def forward(self, x):
        identity = x
        h, w = x.shape[2:]
        x_h = self.pool_h(x)
        x_w = self.pool_w(x).permute(0, 1, 3, 2)
        y = self.act(self.bn1(self.conv1(torch.cat([x_h, x_w], dim=2))))
        x_h, x_w = torch.split(y, [h, w], dim=2)
        a_h = self.conv_h(x_h).sigmoid()
        a_w = self.conv_w(x_w.permute(0, 1, 3, 2)).sigmoid()
        return identity * a_w * a_h


class CoordAttTwice(CoordAtt):
    """The same with the constructor of its authors, which takes the channels twice."""

    def __init__(self, inp, oup, reduction=32):
        if inp != oup:
            raise ValueError(f"inp {inp} is not oup {oup}")
        super().__init__(inp, reduction)


class SimAM(nn.Module):
    """Yang et al. 2021, ICML: an energy for each value, and no parameters."""

    def __init__(self, channels=None, e_lambda=1e-4):
        super().__init__()
        self.e_lambda = e_lambda

    def forward(self, x):
        n = max(1, x.shape[2] * x.shape[3] - 1)
        d = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
        v = d.sum(dim=[2, 3], keepdim=True) / n
        return x * torch.sigmoid(d / (4 * (v + self.e_lambda)) + 0.5)


class ECALayer(nn.Module):
    """Wang et al. 2020, arXiv 1910.03151, with a kernel that follows the channels unless it is given."""

    def __init__(self, channels, kernel_size=0, gamma=2, b=1):
        super().__init__()
        t = int(abs((math.log2(channels) + b) / gamma))
        k = kernel_size or (t if t % 2 else t + 1)
        self.conv = nn.Conv1d(1, 1, kernel_size=k, padding=k // 2, bias=False)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * y.sigmoid().expand_as(x)


class ContextBlock(nn.Module):
    """GCNet (Cao et al. 2019, arXiv 1904.11492): adds to the map, and gates nothing."""

    def __init__(self, inplanes, ratio=0.25):
        super().__init__()
        planes = max(1, int(inplanes * ratio))
        self.conv_mask = nn.Conv2d(inplanes, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(inplanes, planes, 1), nn.LayerNorm([planes, 1, 1]), nn.ReLU(inplace=True),
            nn.Conv2d(planes, inplanes, 1),
        )  # fmt: skip

    def forward(self, x):
        n, c, h, w = x.shape
        mask = self.conv_mask(x).view(n, 1, h * w).softmax(dim=2).unsqueeze(-1)
        context = torch.matmul(x.reshape(n, 1, c, h * w), mask).view(n, c, 1, 1)
        return x + self.transform(context)


class _Gate(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        pooled = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.bn(self.conv(pooled)))


class TripletAttention(nn.Module):
    """Misra et al. 2021, arXiv 2010.03045: three gates over permuted maps, averaged."""

    def __init__(self, channels, kernel_size=7):
        super().__init__()
        self.cw, self.hc, self.hw = (_Gate(kernel_size) for _ in range(3))

    def forward(self, x):
        a = self.cw(x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3)
        b = self.hc(x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1)
        return (a + b + self.hw(x)) / 3
