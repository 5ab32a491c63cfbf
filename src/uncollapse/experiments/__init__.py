"""Experiments: plan -> packed runs -> engine -> run directories -> records -> comparison.json -> report."""
