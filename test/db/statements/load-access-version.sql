select version from access_state
