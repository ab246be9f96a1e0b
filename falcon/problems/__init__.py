"""Problems: what is trained and scored on, from every source in one form."""

from falcon.problems.fault import ProblemFault
from falcon.problems.files import inspect_file
from falcon.problems.leaks import Leak, find_duplicates, find_leaks
from falcon.problems.overlap import Overlap, find_overlap
from falcon.problems.problem import HELD_OUT, Difficulty, Problem, Split
from falcon.problems.sources import load_benchmark, load_sources
from falcon.problems.table import read_problems, write_problems
