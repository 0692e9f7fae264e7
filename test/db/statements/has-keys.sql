select exists (select from api_keys) as has_keys
