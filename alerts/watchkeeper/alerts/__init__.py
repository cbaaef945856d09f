"""Who is told: findings become incidents, incidents become deliveries."""
