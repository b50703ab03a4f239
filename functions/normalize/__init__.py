"""Normalisation of what sources send: mappings, times, numbers, counters and files. No clock.

- `mapping.read_mapping(raw)`: the `[mapping]` of a source file as a frozen `Mapping`
- `mapper.Mapper(mapping, source).map(documents)`: rows, facts of servers, and a `RejectLog`
- `stock_mappings`: the mappings of common programs by name, and which one a file looks like
- `grouping.DocumentGrouping(mapping)`: documents of parts of a server to whole rows
- `explain.explain(mapping, documents, …)`: what a mapping makes of documents, field by field
- `strict_toml.decode_strict(raw, kind)`: TOML to a struct; an error names key, value and remedy
- `counters`, `cpu_modes`, `timestamps`, `file_readers`: the one rule for all sources each
"""
