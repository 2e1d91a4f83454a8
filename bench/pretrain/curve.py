"""A loss curve as an SVG, with the losses of counting models as lines across."""
import math


def draw(train, validation, levels):
    """train, validation: [(step, loss)]; levels: {name: loss}."""
    width, height, left, top = 760, 400, 60, 20
    steps = train[-1][0]
    high = math.ceil(max(*levels.values(), train[0][1]))
    low = math.floor(min(loss for _, loss in train + validation))
    x = lambda step: left + step / steps * (width - left - 20)
    y = lambda loss: top + (high - loss) / (high - low) * (height - top - 40)
    line = lambda points, style: f'<polyline fill="none" {style} points="{" ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)}"/>'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for loss in range(low, high + 1):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    for step in range(0, steps + 1, max(1, steps // 6)):
        parts.append(f'<text x="{x(step):.1f}" y="{height - 20}" text-anchor="middle">{step}</text>')
    for name, value in levels.items():
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#c60" stroke-dasharray="6 4"/>'
                     f'<text x="{width - 24}" y="{y(value) - 5:.1f}" text-anchor="end" fill="#c60">{name} {value:.2f}</text>')
    last_step, last_loss = validation[-1]
    parts += [line(thin(train), 'stroke="#9bc" stroke-width="1"'), line(validation, 'stroke="#036" stroke-width="2"'),
              f'<text x="{x(last_step):.1f}" y="{y(last_loss) - 8:.1f}" text-anchor="end" fill="#036">validation {last_loss:.2f}</text>',
              f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">step</text>',
              f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">loss, nats per token</text></svg>']
    return "\n".join(parts) + "\n"


def thin(points, at_most=400):
    """Means of neighbours, so that a long run stays a small file and a readable line."""
    size = max(1, len(points) // at_most)
    groups = [points[i:i + size] for i in range(0, len(points), size)]
    return [(group[len(group) // 2][0], sum(loss for _, loss in group) / len(group)) for group in groups]
