"""Studies: experiments that answer one question of the paper by running its arms alike."""
