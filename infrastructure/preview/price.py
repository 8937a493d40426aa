"""What a preview costs, from the resources that the program declares for it: on paper, before or
after it is up.
"""

from infrastructure.preview.names import Preview


def cost_usd_a_day(preview: Preview, base: str) -> float:
    # Here, because the whole SDK comes with it: seconds that a refused command need not take.
    from infrastructure.config.files import preview_config, read_config
    from infrastructure.plan.cost import DAYS_A_MONTH, estimate, total
    from infrastructure.plan.paper import REGION, Paper
    from infrastructure.plan.record import record

    platform = record(base, read_config(base), Paper())
    recording = record(
        preview.stack, preview_config(base, REGION), Paper(), {base: platform.outputs}
    )
    return total(estimate(recording)) / DAYS_A_MONTH
