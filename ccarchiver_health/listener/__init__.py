"""supervisord's event listener: tells health, and everybody who reads Redis, how supervisord's programs fare."""
