import './base.css';
import './editing.css';
