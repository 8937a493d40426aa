"""The architecture as an SVG, drawn from a recording: boxes are its resources, arrows its security
groups' rules.
"""

from dataclasses import dataclass
from html import escape

from apps.catalogue import SERVICES, TOPICS
from infrastructure.network.edges import AWS, BALANCER, BROKER, INTERNET, database
from infrastructure.plan.graph import reached
from infrastructure.recording import Recording

WIDTH, HEIGHT = 1180, 760
BOX = (150, 54)
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1b2733}
.small{font-size:11px;fill:#4a5b6b}.title{font-size:18px;font-weight:600}
.area{fill:none;stroke-width:1.5;rx:10}.vpc{stroke:#6b4fbb}.public{fill:#eef8ee;stroke:#3c8d40}
.private{fill:#eaf2fb;stroke:#2f6db5}.isolated{fill:#f4f1fb;stroke:#6b4fbb}
.cluster{stroke:#d9822b;stroke-dasharray:6 4}
.box{fill:#fff;stroke:#41566b;rx:7}.edge{fill:none;stroke:#41566b;stroke-width:1.3;marker-end:url(#tip)}
"""


@dataclass(frozen=True, slots=True)
class Box:
    label: str
    note: str
    x: int
    y: int

    def draw(self) -> str:
        wide, high = BOX
        return (
            f'<rect class="box" x="{self.x}" y="{self.y}" width="{wide}" height="{high}"/>'
            f'<text x="{self.x + wide // 2}" y="{self.y + 23}" '
            f'text-anchor="middle">{escape(self.label)}</text>'
            f'<text class="small" x="{self.x + wide // 2}" y="{self.y + 41}" text-anchor="middle">'
            f"{escape(self.note)}</text>"
        )


def boxes(stack: Recording) -> dict[str, Box]:
    sizes = {each.name: each.inputs for each in stack.of("aws:ecs/service:Service")}

    def service(name: str, x: int, y: int) -> Box:
        entry = SERVICES[name]
        count = sizes[f"{stack.stack.name}-{name}"]["desiredCount"]
        return Box(
            name, f"{entry.protocol} {entry.port}, {count} task{'s' if count > 1 else ''}", x, y
        )

    found = {
        INTERNET: Box("internet", "HTTPS", 30, 330),
        BALANCER: Box("ALB", "TLS, firewall", 245, 330),
        "gateway": service("gateway", 450, 330),
    }
    others = sorted(name for name in SERVICES if name != "gateway")
    for index, name in enumerate(others):
        found[name] = service(name, 690, 140 + 128 * index)
    addresses = {each.outputs["address"]: each for each in stack.of("aws:rds/instance:Instance")}
    named = stack.outputs["platform"]["database_addresses"]
    for name in others:
        for owned in SERVICES[name].databases:
            instance = addresses[named[owned]]
            box = Box(
                f"{owned} database", f"RDS {instance.inputs['instanceClass']}", 960, found[name].y
            )
            found[database(owned)] = box
    topic = ", ".join(TOPICS)
    brokers = stack.of("aws:msk/cluster:Cluster")[0].inputs["numberOfBrokerNodes"]
    found[BROKER] = Box(f"MSK, {brokers} brokers", f"topics {topic}", 960, 140 + 128 * len(others))
    return found


def picture(stack: Recording) -> str:
    """Draws an environment: a preview has no platform to draw."""
    found = boxes(stack)
    vpc = stack.of("aws:ec2/vpc:Vpc")[0].inputs["cidrBlock"]
    zones = len({each.inputs["availabilityZone"] for each in stack.of("aws:ec2/subnet:Subnet")})
    nats = len(stack.of("aws:ec2/natGateway:NatGateway"))
    shapes = [
        area("vpc", x=215, y=50, wide=945, high=690, label=f"VPC {vpc}, {zones} zones"),
        area("public", x=230, y=100, wide=180, high=620, label=f"public subnets, {nats} NAT"),
        area("private", x=425, y=100, wide=495, high=620, label="private subnets"),
        area("cluster", x=437, y=130, wide=470, high=575, label="ECS cluster, Service Connect"),
        area("isolated", x=935, y=100, wide=210, high=620, label="isolated subnets"),
    ]
    arrows = [
        arrow(found[edge.source], found[edge.target])
        for edge in reached(stack, stack)
        if edge.source in found and edge.target in found and edge.target != AWS and edge.port != 80
    ]
    body = "".join([*shapes, *arrows, *(box.draw() for box in found.values())])
    title = f"patient-management, stack {stack.stack.name}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">'
        f"<title>{title}</title><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#41566b"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text class="title" x="30" y="32">{title}</text>{body}</svg>\n'
    )


def area(kind: str, *, x: int, y: int, wide: int, high: int, label: str) -> str:
    return (
        f'<rect class="area {kind}" x="{x}" y="{y}" width="{wide}" height="{high}"/>'
        f'<text class="small" x="{x + 10}" y="{y + 18}">{escape(label)}</text>'
    )


def arrow(source: Box, target: Box) -> str:
    wide, high = BOX
    if source.x == target.x:
        # Between services one above the other: around the side, so that no box is crossed.
        side = source.x - 12 - abs(source.y - target.y) // 12
        start, end = source.y + high // 2 - 8, target.y + high // 2 + 8
        path = f"M{source.x} {start}C{side} {start} {side} {end} {target.x} {end}"
    else:
        start, end = source.y + high // 2, target.y + high // 2
        left, right = source.x + wide, target.x
        middle = (left + right) // 2
        path = f"M{left} {start}C{middle} {start} {middle} {end} {right} {end}"
    return f'<path class="edge" d="{path}"/>'
