"""Mapping as data: documents of any source to rows of metrics. Pure: no I/O, no clock.

- `mapping.read_mapping(raw)`: the `[mapping]` of a TOML file as a frozen `Mapping`, or SourceWrong
- `mapper.Mapper(mapping, source).map(documents)`: rows, facts of servers, and `Refusals`
- `gather.Gathering(mapping).add(rows, now)`: documents of parts of a server to whole rows
- `explain.explain(mapping, document)`: field by field, for people
- `strict.strict(raw, kind)`: TOML into a struct, wrong keys and values told with the remedy
"""
