"""Data model: metrics, tables, views, names, profiles, severities and the time grid."""
