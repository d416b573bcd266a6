"""What a kommandir that many jobs share holds for them: users, their numbers, their homes, caches. Root's work."""
