"""Evaluation: pass@k, intervals, the benchmark runner and its report."""

from falcon.evaluation.benchmark import BenchmarkFolders, BenchmarkResult, run_benchmark
from falcon.evaluation.intervals import Interval, bootstrap, mcnemar, paired_bootstrap, wilson
from falcon.evaluation.pass_at_k import pass_at_k
from falcon.evaluation.report import write_report
from falcon.evaluation.scores import score_samples
