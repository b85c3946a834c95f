"""A simulated fleet with known truth, made offline by PyBaMM (extra ``simulation``); nothing else imports it."""
