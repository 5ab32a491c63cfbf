"""What was lost and how sure that is: mode measures and intervals."""
