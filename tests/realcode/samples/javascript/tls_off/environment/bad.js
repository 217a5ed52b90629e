process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';

import axios from 'axios';

export const load = () => axios.get('https://intranet.example.com/data');
