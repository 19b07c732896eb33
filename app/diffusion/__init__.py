"""Pure mathematics over rows: noise schedules, one step of each scheduler, guidance, latents."""
