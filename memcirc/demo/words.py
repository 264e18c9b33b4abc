"""Word lists that the grammars share. All persons, places and firms are made up."""


def listed(text: str) -> list[str]:
    """The entries of a comma-separated list that may run over several lines."""
    return [" ".join(entry.split()) for entry in text.split(",")]


GIVEN = listed("""
Adela, Albin, Amos, Anneke, Barnaby, Beatrix, Bertram, Cecily, Clement, Cora, Cyrus, Dagmar, Dorian, Edith, Edmund,
Elias, Esther, Felix, Fiona, Gideon, Greta, Harlow, Helena, Hugo, Ida, Ingrid, Isidor, Jasper, Joan, Josef, Judith,
Karel, Lena, Lionel, Lucian, Mabel, Magnus, Marius, Matilda, Milo, Nadia, Nestor, Nora, Olaf, Oscar, Paula, Petra,
Quentin, Ralph, Rhoda, Rufus, Selma, Silas, Tessa, Theodor, Ursula, Victor, Wanda, Wilfred, Yvonne, Zelda
""")

SURNAMES = listed("""
Abbot, Ackland, Ansley, Barrow, Beckett, Birch, Bowden, Brandt, Calloway, Carver, Clough, Corbin, Dalton, Denham,
Dorsey, Eastman, Eckert, Fairley, Farrow, Finch, Galt, Garnett, Grover, Hadley, Halloran, Hobbs, Holm, Ivers, Jarvis,
Keane, Kessler, Kirby, Lambert, Landau, Loomis, Lytton, Marsh, Mercer, Moffat, Nash, Norwood, Oakes, Orton, Paget,
Pruitt, Quill, Radley, Renner, Rowland, Sawyer, Selby, Stroud, Tanner, Thorne, Upton, Vance, Vickers, Wardle, Weller,
Whitlock, Yardley
""")

TOWNS = listed("""
Alderton, Ashgrove, Belmora, Brackwell, Carrick, Castleby, Cranmoor, Dunholm, Eastwick, Elmstead, Fallbrook, Farnley,
Glenross, Greyport, Halden, Harwick, Hollis, Ironbridge, Kelso, Kingsford, Lakemont, Langdale, Linford, Marlow, Merrow,
Millbank, Newhaven, Northgate, Oakham, Orrin, Pinehurst, Port Avery, Quarry Hill, Ravenna, Redfield, Rockport, Saltash,
Sandwell, Selkirk, Stonebury, Tarrant, Thornton, Upwell, Vale Crossing, Wareham, Westerly, Whitby, Winslow, Wyndham,
Yarrow
""")

FIRMS = listed("""
Alder Freight, Beacon Gas, Blue Mesa Power, Borealis Timber, Canyon Steel, Cedar Bank, Coastal Grain, Crestline Pipe,
Delta Tool, Eagle Salt, Falcon Paper, Granite Mutual, Harbor Cement, Juniper Oil, Keystone Cable, Lark Insurance,
Meridian Rail, Northern Copper, Orchard Foods, Pioneer Glass, Quartz Mining, Redwood Leasing, Summit Water,
Tidewater Shipping, Union Textile, Vulcan Boiler, Westgate Motors, Zenith Lumber
""")

MONTHS = listed("""
January, February, March, April, May, June, July, August, September, October, November, December
""")

COUNTS = listed("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, fifteen, twenty, thirty, forty")

DAYS_OF_MONTH = [str(day) for day in range(1, 29)]
