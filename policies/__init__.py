"""What people configure: bundles, rules, prompts, routes and the plans they allow."""
