"""Where evidence lives: what a store does (`interface`), and the SQL store that does it (`sql` and the files it uses).

SQLAlchemy appears in this package alone; its errors leave it as `StoreError`.
"""
