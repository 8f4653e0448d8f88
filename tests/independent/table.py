"""The port table of an edition, and the row test: contract 2.1.2."""
import csv
import os

CATALOG = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../src/catalog/requirements.csv')


class Row:
    def __init__(self, cells):
        self.id, self.direction = cells['id'], cells['direction']
        # The tag that is tested on the peer: of a `both` row VirtualNetwork, else the other end of an outbound or inbound row.
        self.tag = {'outbound': cells['destination'], 'inbound': cells['source'], 'both': 'VirtualNetwork'}[self.direction]
        self.source, self.destination = cells['source'], cells['destination']
        self.protocols = [name.replace('AMQP', 'TCP') for name in cells['protocol'].split('+')]
        self.ports = ranges(cells['destination_ports'])
        self.source_ports = ranges(cells['source_ports'])
        self.vnet_mode, self.necessity = cells['vnet_mode'], cells['necessity']
        self.impact = cells['impact']
        self.is_required = self.necessity == 'required'
        self.is_external_only = self.vnet_mode == 'external'

    def names_port(self, port):
        return any(first <= port <= last for first, last in self.ports)

    def fits_direction(self, direction):
        if self.direction == 'both':
            return True
        if direction == 'internal':
            return self.direction == 'inbound' and self.source == 'VirtualNetwork'
        return self.direction == direction

    def fits(self, direction, protocol, port, source_port):
        if not self.fits_direction(direction) or not self.names_port(port):
            return False
        if self.source_ports == ranges('*'):
            return protocol in self.protocols
        # The 2016 cache row: UDP with its source ports, as printed, and TCP with any.
        as_printed = protocol in self.protocols and any(first <= source_port <= last for first, last in self.source_ports)
        return as_printed or protocol == 'TCP'


def ranges(text):
    """[(first, last)] of a port cell. A bracketed port is optional and is not matched."""
    found = []
    for part in text.split(';'):
        if part == '*':
            found.append((0, 65535))
        elif part and not part.startswith('['):
            first, _, last = part.partition('-')
            found.append((int(first), int(last or first)))
    return found


def rows_of(edition, mode=None):
    """Analyzed rows of an edition. Only a given internal mode takes rows away (2.4)."""
    with open(CATALOG, encoding='utf-8', newline='') as file:
        rows = [Row(cells) for cells in csv.DictReader(file) if cells['edition'] == edition and cells['analyzed'] == 'yes']
    return [row for row in rows if row.vnet_mode in ('both', mode or row.vnet_mode)]
