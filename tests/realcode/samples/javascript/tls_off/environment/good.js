import axios from 'axios';
import https from 'node:https';
import { readFileSync } from 'node:fs';

const httpsAgent = new https.Agent({ ca: readFileSync('intranet.pem') });

export const load = () => axios.get('https://intranet.example.com/data', { httpsAgent });
