"""
Operations on many items in several processes: items are cut into shards, which workers carry out.
"""
