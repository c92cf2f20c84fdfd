from monolith_cli.commands.shard_fids import make

main = make("pb-shard-fids")
