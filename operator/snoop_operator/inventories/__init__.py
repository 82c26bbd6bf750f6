"""What images hold, fetched from their registries and judged by the evidence, in a child process: one at a time.

`findings` are the values; `keeper` decides what is due; `child` runs `work`, which alone knows `snoop_image`.
"""
