"""What published studies add up to: pooled response proportions and two-arm comparisons."""
