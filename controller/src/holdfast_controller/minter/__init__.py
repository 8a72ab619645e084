"""The minter: signs accounts, users and certificates against records that officers signed."""
