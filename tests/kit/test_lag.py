from apps.kit.lag import Lag, PartitionLag, metric_line, metrics_environment


def test_lag_becomes_a_metric() -> None:
    lag = Lag(
        (PartitionLag("patient", 0, 3, 10), PartitionLag("patient", 1, 5, 4)),
        dead_letters=2,
        new_dead_letters=1,
    )
    line = metric_line(lag, "local", "analytics", 1_000)
    assert (line["Lag"], line["DeadLetters"], line["NewDeadLetters"]) == (7, 2, 1)
    assert (line["Environment"], line["ConsumerGroup"]) == ("local", "analytics")
    assert line["_aws"] == {
        "Timestamp": 1_000,
        "CloudWatchMetrics": [
            {
                "Namespace": "PatientManagement",
                "Dimensions": [["Environment", "ConsumerGroup"]],
                "Metrics": [
                    {"Name": name, "Unit": "Count"}
                    for name in ("Lag", "DeadLetters", "NewDeadLetters")
                ],
            }
        ],
    }


def test_metrics_are_told_in_aws_only() -> None:
    assert metrics_environment("local", "json") is None
    assert metrics_environment("prod", "text") is None
    assert metrics_environment("prod", "json") == "prod"
